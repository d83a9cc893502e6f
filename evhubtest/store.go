package evhubtest

import (
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/memlog"
)

// logStore is a store in memory whose logs do something more. The hall opens each log once and keeps it.
type logStore struct {
	*memlog.Store
	open func(inner *memlog.Store, hub eventlog.HubID, partition int, o eventlog.Options) (eventlog.Log, error)
}

func (s *logStore) Open(hub eventlog.HubID, partition int, o eventlog.Options) (eventlog.Log, error) {
	return s.open(s.Store, hub, partition, o)
}

// keepStore has logs that keep so many events.
func keepStore(events int) *logStore {
	return &logStore{Store: memlog.New(memlog.Options{}), open: func(inner *memlog.Store, hub eventlog.HubID, partition int,
		o eventlog.Options) (eventlog.Log, error) {
		l, err := inner.Open(hub, partition, o)
		if err != nil {
			return nil, err
		}
		return &keepLog{Log: l, events: int64(events)}, nil
	}}
}

// keepLog trims itself.
type keepLog struct {
	eventlog.Log
	events int64
}

// Append trims before Done, so that nobody is told of an event while too many are there.
func (l *keepLog) Append(b *eventlog.Batch) {
	done := b.Done
	b.Done = func(b *eventlog.Batch) {
		b.Done = done
		l.Log.Trim(l.Log.State().Next.Seq - l.events)
		done(b)
	}
	l.Log.Append(b)
}
