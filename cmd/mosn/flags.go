package main

import "github.com/urfave/cli"

// configFlag is what start and stop share: stop finds the process through the
// PID file that belongs to the configuration.
func configFlag() cli.Flag {
	return cli.StringFlag{Name: "config, c", Usage: "load configuration from `FILE`", EnvVar: "MOSN_CONFIG", Value: "configs/tcp.json"}
}

// startFlags are the flags of MOSN's own start command (cmd/mosn/main/control.go),
// name for name, so that scripts, images and Istio's injector work unchanged.
// Those marked unused are accepted and ignored there too.
func startFlags() []cli.Flag {
	text := func(name, env, usage string) cli.Flag {
		return cli.StringFlag{Name: name, EnvVar: env, Usage: usage}
	}
	list := func(name, env, usage string) cli.Flag {
		return cli.StringSliceFlag{Name: name, EnvVar: env, Usage: usage}
	}
	unused := func(name string) cli.Flag {
		return cli.StringFlag{Name: name, Usage: "unused"}
	}
	unusedNumber := func(name string) cli.Flag {
		return cli.IntFlag{Name: name, Usage: "unused"}
	}
	return []cli.Flag{
		configFlag(),

		text("service-cluster, s", "SERVICE_CLUSTER", "xDS: cluster of this sidecar"),
		text("service-node, n", "SERVICE_NODE", "xDS: node name of this sidecar"),
		text("service-type, p", "SERVICE_TYPE", "xDS: sidecar or router"),
		list("service-meta, sm", "SERVICE_META", "xDS: metadata, as KEY:VALUE"),
		list("service-lables, sl", "SERVICE_LAB", "xDS: metadata labels, as KEY:VALUE"),
		list("cluster-domain, domain", "CLUSTER_DOMAIN", "xDS: domain of the cluster"),
		text("pod-namespace, pns", "POD_NAMESPACE", "xDS: namespace of the pod"),
		text("pod-name, pn", "POD_NAME", "xDS: name of the pod"),
		text("pod-ip, pi", "POD_IP", "xDS: address of the pod"),

		text("feature-gates, f", "FEATURE_GATES", "switch MOSN's feature gates, as NAME=true,…"),
		text("log-level, l", "LOG_LEVEL", "trace, debug, info, warning, error, critical or off; overrides the configuration"),
		cli.IntFlag{Name: "drain-time-s", Usage: "`SECONDS` that open connections get at shutdown and hot upgrade", Value: 600},

		unused("log-format, lf"),
		list("component-log-level, lc", "", "unused"),
		unused("local-address-ip-version"),
		unusedNumber("restart-epoch"),
		unused("parent-shutdown-time-s"),
		unusedNumber("max-obj-name-len"),
		unusedNumber("concurrency"),
		unusedNumber("log-format-prefix-with-location"),
		unusedNumber("bootstrap-version"),
		unused("drain-strategy"),
		cli.BoolTFlag{Name: "disable-hot-restart", Usage: "unused"},
	}
}
