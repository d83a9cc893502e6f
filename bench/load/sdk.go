package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	sdk "github.com/Azure/go-amqp"
)

// StartSDK starts one sender and the readers as programs use go-amqp, each on a connection of its own.
func StartSDK(o Options) (*Run, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	if o.Events != 1 {
		return nil, fmt.Errorf("load: go-amqp sends single events here")
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.hangUp = append(r.hangUp, cancel)
	for group := range o.Readers {
		if err := r.startSDKReader(ctx, group); err != nil {
			r.Stop()
			return nil, err
		}
	}
	if err := r.startSDKSender(ctx); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

func (r *Run) sdkSession(ctx context.Context) (*sdk.Session, error) {
	p := &r.o.Peer
	options := &sdk.ConnOptions{SASLType: sdk.SASLTypeAnonymous()}
	if p.User != "" {
		options.SASLType = sdk.SASLTypePlain(p.User, p.Password)
	}
	dialing, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	c, err := sdk.Dial(dialing, "amqp://"+p.Addr, options)
	if err != nil {
		return nil, err
	}
	// A send may never return when its connection is closed under it, and Close waits for go-amqp's goroutines, which may wait for ours.
	r.close = append(r.close, func() { go c.Close() })
	return c.NewSession(dialing, nil)
}

func (r *Run) startSDKReader(ctx context.Context, group int) error {
	s, err := r.sdkSession(ctx)
	if err != nil {
		return err
	}
	options := &sdk.ReceiverOptions{Credit: readerCredit}
	if r.o.Peer.Latest {
		options.Filters = []sdk.LinkFilter{sdk.NewLinkFilter("apache.org:selector-filter:string", 0, "amqp.annotation.x-opt-offset > '@latest'")}
	}
	receiver, err := s.NewReceiver(ctx, r.o.Peer.Source(group), options)
	if err != nil {
		return err
	}
	lane := r.lane(true)
	r.spawn(func() error {
		for {
			m, err := receiver.Receive(ctx, nil)
			if err != nil {
				return err
			}
			if body := m.GetData(); r.record.Load() && len(body) >= stampBytes {
				lane.latency.Add(r.now() - int64(binary.BigEndian.Uint64(body[len(body)-stampBytes:])))
			}
			if err := receiver.AcceptMessage(ctx, m); err != nil {
				return err
			}
			r.add(lane, 1)
		}
	})
	return nil
}

func (r *Run) startSDKSender(ctx context.Context) error {
	s, err := r.sdkSession(ctx)
	if err != nil {
		return err
	}
	mode := sdk.SenderSettleModeUnsettled
	if r.o.Settled {
		mode = sdk.SenderSettleModeSettled
	}
	sender, err := s.NewSender(ctx, r.o.Peer.Target, &sdk.SenderOptions{SettlementMode: &mode})
	if err != nil {
		return err
	}
	send := func(m *sdk.Message) error { return sender.Send(ctx, m, nil) }
	if !r.o.Settled {
		send = r.acknowledged(ctx, sender)
	}
	r.spawn(func() error {
		if r.o.PerSec > 0 {
			return r.sendPaced(send)
		}
		return r.sendClosed(send)
	})
	return nil
}

// acknowledged sends without waiting, and has each outcome waited for in order.
func (r *Run) acknowledged(ctx context.Context, sender *sdk.Sender) func(*sdk.Message) error {
	lane := r.lane(false)
	receipts := make(chan sdk.SendReceipt, r.o.InFlight)
	r.spawn(func() error {
		for {
			select {
			case receipt := <-receipts:
				state, err := receipt.Wait(ctx)
				if err != nil {
					return err
				}
				if _, ok := state.(*sdk.StateAccepted); !ok {
					return fmt.Errorf("not accepted but %v", state)
				}
				r.add(lane, 1)
			case <-r.stopped:
				return nil
			}
		}
	})
	return func(m *sdk.Message) error {
		receipt, err := sender.SendWithReceipt(ctx, m, nil)
		if err == nil {
			receipts <- receipt // room for all that may be in flight
		}
		return err
	}
}

func (r *Run) sendClosed(send func(*sdk.Message) error) error {
	body := bytes.Repeat([]byte("x"), r.o.Bytes)
	m := sdk.NewMessage(body)
	for r.wait(1, func() bool { return true }) {
		binary.BigEndian.PutUint64(body[len(body)-stampBytes:], uint64(r.now()))
		r.sent.Add(1)
		if err := send(m); err != nil {
			return err
		}
	}
	return nil
}

// sendPaced stamps each event with the time it was due.
func (r *Run) sendPaced(send func(*sdk.Message) error) error {
	body := bytes.Repeat([]byte("x"), r.o.Bytes)
	m := sdk.NewMessage(body)
	every := time.Second / time.Duration(r.o.PerSec)
	sleep, stop, err := Precise()
	if err != nil {
		return err
	}
	defer stop()
	for due := time.Duration(r.now()); !r.stopping.Load(); due += every {
		sleep(due - time.Duration(r.now()))
		binary.BigEndian.PutUint64(body[len(body)-stampBytes:], uint64(due))
		r.sent.Add(1)
		if err := send(m); err != nil {
			return err
		}
	}
	return nil
}
