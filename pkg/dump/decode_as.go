package dump

import (
	"fmt"
	"slices"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/record"
)

// dissectors are how Wireshark knows protocols.
var dissectors = map[protocol.Name]dissector{
	protocol.HTTP1:    {"http", []uint16{80, 631, 1900, 2710, 2869, 3128, 3132, 3689, 5985, 8080, 8088, 11371}, true},
	protocol.HTTP2:    {name: "http2"},
	protocol.TLS:      {"tls", []uint16{324, 443, 465, 636, 802, 853, 993, 995, 1300, 2221, 2443, 3249, 3250, 3251, 3252, 3496, 5061, 5671, 5684, 5868, 8883, 11207, 19999, 27017}, true},
	protocol.Redis:    {"resp", []uint16{6379}, false},
	protocol.MySQL:    {"mysql", []uint16{3306}, false},
	protocol.Postgres: {"pgsql", []uint16{5432}, false},
	protocol.MQTT:     {"mqtt", []uint16{1883}, false},
	protocol.AMQP:     {"amqp", []uint16{5672}, false},
	protocol.Kafka:    {"kafka", []uint16{9092}, false},
	protocol.Mongo:    {"mongo", nil, false},
	protocol.Memcache: {"memcache", []uint16{11211}, false},
	protocol.SSH:      {"ssh", []uint16{22, 29418}, false},
}

// dissector is how Wireshark knows a protocol.
type dissector struct {
	name      string
	usual     []uint16 // TCP ports
	heuristic bool     // it recognises the protocol on ports for which it knows none
}

// onItsOwn reports whether Wireshark applies d on a port without being asked.
func (d *dissector) onItsOwn(port uint16) bool {
	if slices.Contains(d.usual, port) {
		return true
	}
	return d.heuristic && !wiresharkKnows(port)
}

// sniffRecords is how many records of each direction of a connection are looked at: the
// first ones of a connection that began earlier may be in the middle of a message.
const sniffRecords = 16

// protocolSniffer counts by port what the connections of a file speak.
type protocolSniffer struct{ ports map[uint16]*portProtocols }

// recognisedShare is which share of a port's connections must be recognised, one in so
// many: fewer may be chance.
const recognisedShare = 8

// portProtocols are the connections of a port.
type portProtocols struct {
	seen    int // connections that have bytes
	count   map[protocol.Name]int
	joined  bool // one speaks HTTP/2, and its preface is not there
	prefers protocol.Name
}

// flowProtocol is what is known of one connection.
type flowProtocol struct {
	name   protocol.Name
	looked [2]int // records
}

// look looks at the bytes of a record on a TCP port.
func (s *protocolSniffer) look(f *flowProtocol, port uint16, r *record.Record) {
	if f.name != protocol.Unknown || f.looked[r.Direction] >= sniffRecords || len(r.Data) == 0 {
		return
	}
	if s.ports == nil {
		s.ports = map[uint16]*portProtocols{}
	}
	p := s.ports[port]
	if p == nil {
		p = &portProtocols{count: map[protocol.Name]int{}}
		s.ports[port] = p
	}
	if f.looked == [2]int{} {
		p.seen++
	}
	f.looked[r.Direction]++
	f.name = protocol.Recognise(r.Direction, r.Data)
	if f.name == protocol.Unknown {
		return
	}
	p.count[f.name]++
	if f.name == protocol.HTTP2 && !protocol.BeginsHTTP2(r.Data) {
		p.joined = true
	}
	if p.prefers == protocol.Unknown || p.count[f.name] > p.count[p.prefers] {
		p.prefers = f.name
	}
}

// decodeAs returns what is to be decoded as what, in the order of the ports.
func (s *protocolSniffer) decodeAs() (all []string) {
	ports := make([]uint16, 0, len(s.ports))
	for port := range s.ports {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	for _, port := range ports {
		p := s.ports[port]
		if p.count[p.prefers]*recognisedShare < p.seen || p.prefers == protocol.Unknown {
			continue
		}
		if d, onItsOwn := p.dissector(port); !onItsOwn {
			all = append(all, fmt.Sprintf("tcp.port==%d,%s", port, d.name))
		}
	}
	return all
}

// dissector returns what decodes most connections of a port, and whether Wireshark
// applies it without being asked.
func (p *portProtocols) dissector(port uint16) (d dissector, onItsOwn bool) {
	d = dissectors[protocol.HTTP1]
	usual := slices.Contains(d.usual, port)
	if p.count[protocol.HTTP2] > 0 && !p.joined && (usual || p.count[protocol.HTTP1] > 0) {
		return d, usual // it hands connections that begin with the preface of HTTP/2 over
	}
	d = dissectors[p.prefers]
	return d, d.onItsOwn(port)
}
