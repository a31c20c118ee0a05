package mix

import "github.com/twmb/franz-go/pkg/kversion"

// kafkaV1 returns the versions of Kafka 1.0.
func kafkaV1() *kversion.Versions { return kversion.V1_0_0() }
