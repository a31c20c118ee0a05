package calls

import (
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/record"
)

// maxTopics bounds the topics whose names are remembered.
const maxTopics = 1 << 16

var _ kafka.Names = (*connection)(nil)

// LearnTopic implements kafka.Names: what one connection learns, all know.
func (o *connection) LearnTopic(id [16]byte, name string) { o.station.learn(id, name) }

func (s *Station) learn(id [16]byte, name string) {
	if s.topics == nil {
		s.topics = map[[16]byte]string{}
	}
	if _, known := s.topics[id]; known || len(s.topics) < maxTopics {
		s.topics[id] = name
	}
}

// TopicName implements kafka.Names.
func (o *connection) TopicName(id [16]byte) string {
	s := o.station
	name, known := s.topics[id]
	if more := s.options.Topics; !known && more != nil {
		s.options.Topics = nil
		for id, name := range more() {
			s.learn(id, name)
		}
		name = s.topics[id]
	}
	return name
}

// TopicNames finds the names of Kafka's topics in a dump: clients learn them on one connection, and have the numbers on
// others. Of connections that speak something else it decodes the beginning only. It belongs to one goroutine.
type TopicNames struct{ station *Station }

// NewTopicNames returns a TopicNames without records. Of o, Protocols and Memory count.
func NewTopicNames(o Options) *TopicNames {
	s := New(Options{Protocols: o.Protocols, Memory: o.Memory}, func(*Call) error { return nil })
	s.only = call.Kafka
	return &TopicNames{s}
}

// Add is given each record, as Station.Add is.
func (t *TopicNames) Add(r *record.Record) error { return t.station.Add(r) }

// Names ends the records, and returns the names by the numbers. It is called once.
func (t *TopicNames) Names() (map[[16]byte]string, error) {
	err := t.station.Finish()
	return t.station.topics, err
}

// isOther reports whether the connection is known to speak another protocol than the one that is decoded.
func (o *connection) isOther() bool {
	name := o.decoder.Protocol()
	return name != "" && name != o.station.only
}
