package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionRow is the version as a JSON line.
type versionRow struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, where it is known
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (t *tool) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  atMost(0),
	}
	o := t.addFormat(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		v := t.versionRow()
		if asJSON {
			return newJSONLines(t.stdout).Encode(v)
		}
		revision := ""
		if v.Revision != "" {
			revision = ", revision " + v.Revision
		}
		_, err = fmt.Fprintf(t.stdout, "tcpcopyctl %s (%s, %s%s)\n", v.Version, v.Go, v.Platform, revision)
		return err
	}
	return cmd
}

// versionRow returns the version that the linker was given, or that of the module.
func (t *tool) versionRow() versionRow {
	v := versionRow{Version: t.version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value[:min(len(s.Value), 12)]
			}
		}
	}
	if v.Version == "" {
		v.Version = "dev"
	}
	return v
}
