// Bench compares what recording costs: the same closed-loop load through a MOSN
// TCP proxy with and without the filter, with tcpdump on the port, and beside a
// process that only writes as much to the disk. `make bench` runs it;
// docs/performance.md explains its table.
//
// The load generator, the echo server, MOSN and the recorder share the machine,
// so that a variant's requests per second show its whole cost. The variants run one
// after the other, round after round, and each is compared with the variant
// without a filter of the same round: a machine that is slower for a while slows
// both.
package main
