package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// spreadBytes is how much goes to one partition in a row of what has no key, as with franz-go's default.
const spreadBytes = 64 << 10

// Partitioner is for kgo.RecordPartitioner: it puts a record where its notify.Message says, and all other records of the client where
// franz-go's default puts them: by Kafka's murmur2 hash of the key, or, without one, in runs to partitions with little to do.
func Partitioner() kgo.Partitioner {
	return partitioner{kgo.UniformBytesPartitioner(spreadBytes, true, true, nil)}
}

type partitioner struct{ kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.Partitioner.ForTopic(topic).(kgo.TopicBackupPartitioner)}
}

type topicPartitioner struct{ kgo.TopicBackupPartitioner }

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return choiceOf(r) != nil || p.TopicBackupPartitioner.RequiresConsistency(r)
}

func (p topicPartitioner) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	if c := choiceOf(r); c != nil {
		c.missing = c.partition >= n
		return c.partition // the client fails the record if that is missing
	}
	return p.TopicBackupPartitioner.PartitionByBackup(r, n, backup)
}
