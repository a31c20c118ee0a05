package trigger

import "sync"

// maxTopics bounds the topics whose names are known.
const maxTopics = 4 << 10

// topics are the names of Kafka's topics, which clients learn on one connection and use on
// others.
type topics struct {
	mu    sync.Mutex
	names map[[16]byte]string // guarded by mu
}

// LearnTopic implements kafka.Names.
func (t *topics) LearnTopic(id [16]byte, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.names[id]; known || len(t.names) < maxTopics {
		t.names[id] = name
	}
}

// TopicName implements kafka.Names.
func (t *topics) TopicName(id [16]byte) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names[id]
}
