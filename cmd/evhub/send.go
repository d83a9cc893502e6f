package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// eventBytesMax bounds what send reads for one event: the largest that any tier of the service takes.
const eventBytesMax = 20 << 20

// linesAhead is how many lines are read while a batch is under way.
const linesAhead = 100

type sending struct {
	connection
	hub         string
	file        string
	key         string
	partition   string
	properties  []string
	contentType string
	json        bool

	template azeventhubs.EventData // what all events have in common
	client   *azeventhubs.ProducerClient
	batch    *azeventhubs.EventDataBatch // being filled; nil: none
	events   int                         // sent
	batches  int
}

func (a *app) sendCommand() *cobra.Command {
	s := &sending{connection: connection{app: a}}
	cmd := &cobra.Command{
		Use:   "send HUB [BODY]",
		Short: "Send events",
		Long: `Send one event with the body BODY, or with the content of a file, or else one event for each line of standard input; empty lines are
passed over. Lines that come quickly go out together in a batch.`,
		Example: `  evhub send eh1 '{"Hello":"World!"}'
  evhub send eh1 --key customer-7 --property source=test hello
  seq 1000 | evhub send eh1
  evhub send eh1 --partition 0 --file picture.png --content-type image/png
  evhub send eh1 --connection-string "$AZURE_CONNECTION_STRING" hello`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"key", "partition"} {
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
					return badUsage("", "--%s is given with nothing in it; is a variable unset?", name)
				}
			}
			s.hub = args[0]
			return s.run(cmd.Context(), args[1:])
		},
	}
	s.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.file, "file", "", "send the content of `PATH` as one event; - is standard input")
	f.StringVar(&s.key, "key", "", "partition `KEY`: events of one key stay in order in one partition")
	f.StringVar(&s.partition, "partition", "", "`ID` of the partition")
	f.StringArrayVar(&s.properties, "property", nil, "application property `name=value`; may be repeated")
	f.StringVar(&s.contentType, "content-type", "", "content `TYPE` of the body, like application/json")
	f.BoolVar(&s.json, "json", false, "print a line of JSON when done")
	return cmd
}

func (s *sending) run(ctx context.Context, body []string) error {
	if err := s.check(body); err != nil {
		return err
	}
	single, err := s.single(body)
	if err != nil {
		return err
	}
	if s.client, err = s.producer(s.hub); err != nil {
		return err
	}
	defer leave(s.client)
	if single != nil {
		err = s.put(ctx, single)
	} else {
		err = s.putLines(ctx)
	}
	err = errors.Join(err, s.flush(ctx))
	if s.json {
		json.NewEncoder(s.out).Encode(struct {
			Hub     string `json:"hub"`
			Sent    int    `json:"sent"`
			Batches int    `json:"batches"`
		}{s.hub, s.events, s.batches})
	}
	if err == nil || s.events > 0 {
		s.note("sent %s to %s", count(s.events, "event"), s.hub)
	}
	return err
}

func (s *sending) check(body []string) error {
	if len(body) > 0 && s.file != "" {
		return badUsage("", "both BODY and --file are given; one event has one body")
	}
	if s.key != "" && s.partition != "" {
		return badUsage("", "both --key and --partition are given; a key chooses the partition")
	}
	if s.contentType != "" {
		s.template.ContentType = &s.contentType
	}
	for _, p := range s.properties {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return badUsage("", "--property %q is not name=value", p)
		}
		if s.template.Properties == nil {
			s.template.Properties = make(map[string]any)
		}
		s.template.Properties[name] = value
	}
	return nil
}

// single gives the body where there is one event, nil where lines are to be sent.
func (s *sending) single(body []string) ([]byte, error) {
	switch {
	case len(body) > 0:
		return []byte(body[0]), nil
	case s.file == "":
		return nil, nil
	}
	in := s.in
	if s.file != "-" {
		f, err := os.Open(s.file)
		if err != nil {
			return nil, &failure{text: "--file: " + err.Error()}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, eventBytesMax+1))
	if err != nil {
		return nil, &failure{text: "--file: " + err.Error()}
	}
	if len(data) > eventBytesMax {
		return nil, &failure{text: fmt.Sprintf("--file: %s has more than %d bytes; no event can be that large", s.file, eventBytesMax)}
	}
	return data[:len(data):len(data)], nil
}

// put adds an event to the batch, which goes out first if it is full.
func (s *sending) put(ctx context.Context, body []byte) error {
	event := s.template
	event.Body = body
	for {
		if err := s.begin(ctx); err != nil {
			return err
		}
		err := s.batch.AddEventData(&event, nil)
		if !errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
			return explain(err)
		}
		if s.batch.NumEvents() == 0 {
			return s.tooLarge(ctx, body)
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
}

// tooLarge has the SDK say what the hub takes, which it only does to who asks for more.
func (s *sending) tooLarge(ctx context.Context, body []byte) error {
	text := fmt.Sprintf("an event with a body of %d bytes is larger than hub %s takes", len(body), s.hub)
	_, err := s.client.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{MaxBytes: math.MaxUint64})
	if err != nil {
		if _, limit, ok := strings.Cut(err.Error(), "allowed by link ("); ok {
			text += ": " + strings.TrimSuffix(limit, ")") + " bytes, properties and the like included"
		}
	}
	return &failure{text: text}
}

// begin makes a batch if there is none.
func (s *sending) begin(ctx context.Context) error {
	if s.batch != nil {
		return nil
	}
	var o azeventhubs.EventDataBatchOptions
	if s.key != "" {
		o.PartitionKey = &s.key
	}
	if s.partition != "" {
		o.PartitionID = &s.partition
	}
	var err error
	s.batch, err = s.client.NewEventDataBatch(ctx, &o)
	return explain(err)
}

// flush sends the batch, if there is something in it.
func (s *sending) flush(ctx context.Context) error {
	batch := s.batch
	s.batch = nil
	if batch == nil || batch.NumEvents() == 0 {
		return nil
	}
	if err := s.client.SendEventDataBatch(ctx, batch, nil); err != nil {
		return explain(err)
	}
	s.events += int(batch.NumEvents())
	s.batches++
	return nil
}

func (s *sending) putLines(ctx context.Context) error {
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.note("one event a line; end with Ctrl-D (on Windows Ctrl-Z and Enter)")
	}
	lines := readLines(ctx, s.in)
	for {
		l, ok, err := s.next(ctx, lines)
		if err != nil || !ok {
			return err
		}
		if err := s.put(ctx, l.text); err != nil {
			return err
		}
	}
}

// next gives the next line. Where none is at hand, those before it go out while we wait.
func (s *sending) next(ctx context.Context, lines <-chan line) (line, bool, error) {
	select {
	case l, ok := <-lines:
		return l, ok, l.err
	default:
	}
	if err := s.flush(ctx); err != nil {
		return line{}, false, err
	}
	select {
	case l, ok := <-lines:
		return l, ok, l.err
	case <-ctx.Done():
		return line{}, false, explain(ctx.Err())
	}
}

// line is one line of input, or why there are no more.
type line struct {
	text []byte
	err  error
}

// readLines gives the lines that are not empty, without their ends. It stops with the input; one that never ends holds a goroutine until the
// process ends.
func readLines(ctx context.Context, in io.Reader) <-chan line {
	lines := make(chan line, linesAhead)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(make([]byte, 64<<10), eventBytesMax)
		put := func(l line) bool {
			select {
			case lines <- l:
				return true
			case <-ctx.Done():
				return false
			}
		}
		n := 0
		for scanner.Scan() {
			n++
			if text := scanner.Bytes(); len(text) > 0 && !put(line{text: append([]byte(nil), text...)}) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			put(line{err: &failure{text: fmt.Sprintf("standard input, line %d: %s", n+1, err)}})
		}
	}()
	return lines
}
