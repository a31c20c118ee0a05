package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli"
	"mosn.io/mosn/istio/istio1106"
	admin "mosn.io/mosn/pkg/admin/server"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/configmanager"
	"mosn.io/mosn/pkg/featuregate"
	"mosn.io/mosn/pkg/holmes"
	"mosn.io/mosn/pkg/log"
	"mosn.io/mosn/pkg/metrics"
	"mosn.io/mosn/pkg/mosn"
	"mosn.io/mosn/pkg/server"
	"mosn.io/mosn/pkg/stagemanager"
)

// start runs the proxy until a signal stops it. MOSN's stage manager exits the
// process itself when a stage fails.
func start(c *cli.Context) error {
	// Flags are judged here, before the first stage, because a stage cannot
	// return an error.
	if err := featuregate.Set(c.String("feature-gates")); err != nil {
		return fmt.Errorf("--feature-gates %q: %w", c.String("feature-gates"), err)
	}
	level, err := logLevel(c.String("log-level"))
	if err != nil {
		return err
	}

	stages := stagemanager.InitStageManager(c, c.String("config"), mosn.NewMosn())
	stages.AppendParamsParsedStage(func(*cli.Context) {
		registerProtocols()
		registerTracers()
		registerGRPC()
		level.apply()
	})
	stages.AppendInitStage(func(cfg *v2.MOSNConfig) {
		server.SetDrainTime(time.Duration(c.Int("drain-time-s")) * time.Second)
		istio1106.InitXdsInfo(cfg, c.String("service-cluster"), xdsNode(c), c.StringSlice("service-meta"), c.StringSlice("service-lables"))
	})
	stages.AppendInitStage(mosn.DefaultInitStage)
	stages.AppendInitStage(func(*v2.MOSNConfig) {
		metrics.SetVersion(version)
		metrics.SetGoVersion(runtime.Version())
		admin.SetVersion(version)
	})
	stages.AppendInitStage(holmes.Register)
	stages.AppendPreStartStage(mosn.DefaultPreStartStage)
	stages.AppendStartStage(mosn.DefaultStartStage)
	stages.AppendAfterStopStage(holmes.Stop)
	stages.RunAll()
	return nil
}

// stop signals the process whose PID file belongs to the configuration and waits
// until it has gone.
func stop(c *cli.Context) error {
	stages := stagemanager.InitStageManager(c, c.String("config"), mosn.NewMosn())
	stages.AppendInitStage(mosn.InitDefaultPath)
	// StopMosnProcess asks until the process is gone and returns the answer of
	// that last question (pkg/stagemanager/stage_manager.go): gone is success.
	if err := stages.StopMosnProcess(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the process of %s: %w", c.String("config"), err)
	}
	return nil
}

// xdsNode is the node's name for the control plane: as given, or put together in
// Istio's form, or empty for a proxy that is configured by its file alone.
func xdsNode(c *cli.Context) string {
	if node := c.String("service-node"); node != "" {
		return node
	}
	kind := c.String("service-type")
	if !istio1106.IsApplicationNodeType(kind) {
		return ""
	}
	pod := c.String("pod-name") + "." + c.String("pod-namespace")
	return strings.Join([]string{kind, c.String("pod-ip"), pod, strings.Join(c.StringSlice("cluster-domain"), ",")}, "~")
}

// level is the log level that the command line asks for; the zero value leaves
// the configuration's alone.
type level struct {
	name string // MOSN's own word for it
	off  bool
}

// logLevel translates the words of Istio's proxies into MOSN's.
func logLevel(word string) (level, error) {
	switch word {
	case "":
		return level{}, nil
	case "off":
		return level{off: true}, nil
	case "warning":
		return level{name: "WARN"}, nil
	case "critical":
		return level{name: "FATAL"}, nil
	case "trace", "debug", "info", "error":
		return level{name: strings.ToUpper(word)}, nil
	default:
		return level{}, fmt.Errorf("--log-level %q, valid: trace, debug, info, warning, error, critical, off", word)
	}
}

func (l level) apply() {
	switch {
	case l.off:
		log.GetErrorLoggerManagerInstance().Disable()
	case l.name != "":
		log.GetErrorLoggerManagerInstance().SetLogLevelControl(configmanager.ParseLogLevel(l.name))
	}
}
