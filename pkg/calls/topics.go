package calls

import "mosn.io/tcpcopy/pkg/protocol/kafka"

// maxTopics bounds the topics whose names are remembered.
const maxTopics = 1 << 16

var _ kafka.Names = (*connection)(nil)

// LearnTopic implements kafka.Names: what one connection learns, all know.
func (o *connection) LearnTopic(id [16]byte, name string) {
	s := o.station
	if s.topics == nil {
		s.topics = map[[16]byte]string{}
	}
	if _, known := s.topics[id]; known || len(s.topics) < maxTopics {
		s.topics[id] = name
	}
}

// TopicName implements kafka.Names.
func (o *connection) TopicName(id [16]byte) string { return o.station.topics[id] }
