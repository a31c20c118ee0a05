package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// switchFlags is the part of a command line that changes a layer of the switch.
type switchFlags struct {
	layer    string
	interval int
	duration int
	cpu, mem float64
}

func (t *tool) onCommand() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use:   "on",
		Short: "Switch scheduled recording on",
		Long: `on switches a layer of the recorder's configuration ON: the application's, or
with --layer global the platform's. What is not given stays as it is.`,
		Example: `  tcpcopyctl on
  tcpcopyctl on --interval 60 --duration 10 --cpu-max-rate 70`,
		Args: atMost(0),
	}
	a := t.adminFlags(cmd)
	addLayer(cmd, &f.layer)
	cmd.Flags().IntVar(&f.interval, "interval", 0, "pause before each window, in `seconds`")
	cmd.Flags().IntVar(&f.duration, "duration", 0, "length of a window, in `seconds`")
	cmd.Flags().Float64Var(&f.cpu, "cpu-max-rate", 0, "`percent` of CPU use at or above which nothing is recorded")
	cmd.Flags().Float64Var(&f.mem, "mem-max-rate", 0, "`percent` of memory use at or above which nothing is recorded")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.setLayer(cmd, a, f.layer, func(c *model.DumpConfig) {
			c.Switch = model.SwitchOn
			changed := cmd.Flags().Changed
			if changed("interval") {
				c.Interval = f.interval
			}
			if changed("duration") {
				c.Duration = f.duration
			}
			if changed("cpu-max-rate") {
				c.CpuMaxRate = f.cpu
			}
			if changed("mem-max-rate") {
				c.MemMaxRate = f.mem
			}
		})
	}
	return cmd
}

func (t *tool) offCommand() *cobra.Command {
	var layer string
	var force bool
	cmd := &cobra.Command{
		Use:   "off",
		Short: "Switch recording off, and close the window that is open",
		Long: `off switches a layer of the recorder's configuration OFF: the application's, or
with --layer global the platform's. A layer that is OFF does not keep the other
one from recording; --force does: it puts the global layer to FORCE_OFF.`,
		Example: `  tcpcopyctl off
  tcpcopyctl off --force`,
		Args: atMost(0),
	}
	a := t.adminFlags(cmd)
	addLayer(cmd, &layer)
	cmd.Flags().BoolVar(&force, "force", false, "let nothing be recorded, whatever the application's layer says")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		word := model.SwitchOff
		if force {
			if cmd.Flags().Changed("layer") && layer != string(model.LayerGlobal) {
				return misused(cmd, "--force is for the global layer, not %q", layer)
			}
			word, layer = model.SwitchForceOff, string(model.LayerGlobal)
		}
		return t.setLayer(cmd, a, layer, func(c *model.DumpConfig) { c.Switch = word })
	}
	return cmd
}

func addLayer(cmd *cobra.Command, layer *string) {
	cmd.Flags().StringVar(layer, "layer", string(model.LayerApp), "whose `layer` of the configuration: app or global")
	complete(cmd, "layer", oneOf(string(model.LayerApp), string(model.LayerGlobal)))
}

// setLayer changes one layer, starting from what is in force, and prints the switch
// that results.
func (t *tool) setLayer(cmd *cobra.Command, a *adminFlags, name string, edit func(*model.DumpConfig)) error {
	layer := model.Layer(name)
	if layer != model.LayerApp && layer != model.LayerGlobal {
		return misused(cmd, "--layer is %q, valid: app, global", name)
	}
	c, err := a.client(cmd)
	if err != nil {
		return err
	}
	s, _, err := c.status(cmd.Context())
	if err != nil {
		return err
	}
	config := s.Switch.App
	if layer == model.LayerGlobal {
		config = s.Switch.Global
	}
	if config == (model.DumpConfig{}) {
		config = model.DefaultDumpConfig()
	}
	edit(&config)
	if err := config.Validate(layer); err != nil {
		return misused(cmd, "%w", err)
	}
	if err := c.setConfig(cmd.Context(), layer, config); err != nil {
		return err
	}
	if s, _, err = c.status(cmd.Context()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.stdout, "switch %s (app %s, global %s)\n", printable(s.Switch.Effective), printable(s.Switch.App.Switch), printable(s.Switch.Global.Switch))
	return err
}

func (c *adminClient) setConfig(ctx context.Context, layer model.Layer, config model.DumpConfig) error {
	body, err := json.Marshal(config)
	if err != nil {
		return err
	}
	var changed switchAnswer // the caller asks for the status anyway
	return c.do(ctx, http.MethodPut, adminConfig, url.Values{"layer": {string(layer)}}, body, &changed)
}

// switchAnswer is the answer to a request that changes the switch.
type switchAnswer struct {
	Effective string `json:"effective"`
}

// missing implements answer.
func (a *switchAnswer) missing() string {
	if a.Effective != model.SwitchOn && a.Effective != model.SwitchOff {
		return "effective"
	}
	return ""
}
