package eventhubs

import (
	"strconv"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/hub"
)

const (
	typeHub       = "com.microsoft:eventhub"
	typePartition = "com.microsoft:partition"
)

// read answers a request to $management: the properties of a hub or of a partition. The rules are asked once it is clear who asks.
func (c *conn) read(r *request) {
	name := auth.NormalizePath(r.text("name"))
	s := c.checkRead(r, name)
	subject := c.subject(hub.Manage)
	subject.Hub = r.text("name")
	if s.refusal != nil {
		c.answer(r, subject, s)
		return
	}
	c.obey(subject, fate{
		pass: func() {
			if s := c.readNow(r, name); s.refusal != nil {
				c.answer(r, subject, s)
			}
		},
		refuse: func(e *refusal) { c.answer(r, subject, ruledStatus(e)) },
	})
}

// checkRead says why a request will not be served, if that is clear without looking at the hub.
func (c *conn) checkRead(r *request, name string) status {
	op, kind := r.text("operation"), r.text("type")
	if op != "READ" || kind != typeHub && kind != typePartition {
		return status{501, c.errorf(amqp.CondNotImplemented, noSystem,
			"The operation '%.64s' on '%.64s' is not known at $management. It takes 'READ' on '%s' and '%s'.", op, kind, typeHub, typePartition)}
	}
	return c.mayRead(r, name)
}

// readNow answers a request, or says why it cannot be.
func (c *conn) readNow(r *request, name string) status {
	space := c.space()
	if space == nil { // deleted
		return c.noRight(name)
	}
	h, err := space.Hub(name)
	if err != nil {
		c.log.Warn("read refused: unknown hub", "remote", c.c.RemoteAddr(), "hub", name, "err", err)
		return status{404, c.refusal(err, space.Name()+":eventhub:"+name)}
	}
	if r.text("type") == typeHub {
		r.answerRead(hubProperties(h))
		return status{}
	}
	p, err := h.Partition(r.text("partition"))
	if err != nil {
		return status{400, c.refusal(err, systemOf(h, nil, ""))}
	}
	r.answerRead(partitionProperties(h, p))
	return status{}
}

// mayRead says why the client may not read a hub's properties, if so: any right on the hub will do. It comes from $cbs or PLAIN; only a
// client that did neither (.NET, Java) is asked for a security_token, since others put all sorts of things there. That is taken or refused
// as if it had been put to $cbs for the hub; the service's texts are the same.
func (c *conn) mayRead(r *request, name string) status {
	if _, ok := c.may(0, name); ok {
		return status{}
	}
	if _, ok := c.may(0, name+"/"+nodeManagement); ok {
		return status{}
	}
	token := r.text("security_token")
	if token == "" {
		return c.noRight(name)
	}
	kind := auth.KindJWT
	if auth.IsSAS(token) {
		kind = auth.KindSAS
	}
	audience := "sb://" + c.host + "/" + name
	grant, s := c.authenticate(kind, token, audience)
	if s.refusal != nil {
		return s
	}
	return c.accept(grant, audience)
}

func (c *conn) noRight(name string) status {
	c.log.Warn("read refused: no right", "remote", c.c.RemoteAddr(), "policy", c.policies(), "hub", name)
	return status{401, c.errorf(amqp.CondUnauthorizedAccess, noSystem,
		"Unauthorized access. Put a token for '%s' to $cbs, or send it as security_token.", name)}
}

// answerRead sends properties. Application properties in the recorded order: operation, then status-code, and no description.
func (r *request) answerRead(properties amqp.Map) {
	r.reply(&amqp.Message{
		ApplicationProperties: amqp.Map{{Key: "operation", Value: "READ"}, {Key: "status-code", Value: int32(200)}},
		Value:                 properties,
		HasValue:              true,
	})
}

// hubProperties: keys, order and types as recorded. partition_ids must be an array; Go v2 fails without georeplication_factor.
func hubProperties(h *hub.Hub) amqp.Map {
	ids := make([]string, h.PartitionCount())
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return amqp.Map{
		{Key: "name", Value: h.Name()},
		{Key: "type", Value: typeHub},
		{Key: "created_at", Value: amqp.Timestamp(h.Created().UnixMilli())},
		{Key: "partition_count", Value: int32(h.PartitionCount())},
		{Key: "partition_ids", Value: amqp.StringArray(ids...)},
		{Key: "georeplication_factor", Value: int32(1)},
	}
}

// partitionProperties: keys, order and types as recorded; a partition never written to has -1, "-1" and the year one.
func partitionProperties(h *hub.Hub, p *hub.Partition) amqp.Map {
	s := p.State()
	begin, at := s.First, s.Last.TimeMs
	if s.Last.Offset < 0 {
		s.Last.Seq, begin, at = -1, -1, event.TimeNever
	}
	return amqp.Map{
		{Key: "name", Value: h.Name()},
		{Key: "partition", Value: p.ID()},
		{Key: "type", Value: typePartition},
		{Key: "begin_sequence_number_epoch", Value: int32(-1)},
		{Key: "begin_sequence_number", Value: begin},
		{Key: "last_enqueued_sequence_number_epoch", Value: int32(-1)},
		{Key: "last_enqueued_sequence_number", Value: s.Last.Seq},
		{Key: "last_enqueued_offset", Value: strconv.FormatInt(s.Last.Offset, 10)},
		{Key: "last_enqueued_time_utc", Value: amqp.Timestamp(at)},
		{Key: "is_partition_empty", Value: s.Empty()},
	}
}
