package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/spf13/cobra"
)

type describing struct {
	connection
	json bool
}

func (a *app) hubsCommand() *cobra.Command {
	d := &describing{connection: connection{app: a}}
	cmd := &cobra.Command{
		Use:   "hubs [HUB...]",
		Short: "Show the properties of hubs and their partitions; create and delete hubs",
		Args:  cobra.ArbitraryArgs,
		Long: `Show the properties of hubs and their partitions. SDKs cannot list the hubs of a namespace: without a name it is the hub of the
connection string (EntityPath), or eh1 of a local broker.`,
		Example: `  evhub hubs
  evhub hubs eh1 orders
  evhub hubs eh1 --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return d.ofAssumed(d.run(cmd.Context(), args)) },
	}
	cmd.AddCommand(a.hubsCreateCommand(), a.hubsDeleteCommand())
	d.addFlags(cmd)
	cmd.Flags().BoolVar(&d.json, "json", false, "print an object a line")
	return cmd
}

func (d *describing) run(ctx context.Context, names []string) error {
	if len(names) == 0 {
		name, err := d.defaultHub()
		if err != nil {
			return err
		}
		names = []string{name}
	}
	for i, name := range names {
		h, err := d.describe(ctx, name)
		if err != nil {
			return err
		}
		if d.json {
			json.NewEncoder(d.out).Encode(h)
			continue
		}
		if i > 0 {
			fmt.Fprintln(d.out)
		}
		d.print(h)
	}
	return nil
}

// hubLine is a hub as hubs --json prints it.
type hubLine struct {
	Name       string          `json:"name"`
	CreatedOn  time.Time       `json:"createdOn"`
	Partitions []partitionLine `json:"partitions"`
}

// partitionLine has no last event where none was ever enqueued.
type partitionLine struct {
	ID                         string     `json:"id"`
	IsEmpty                    bool       `json:"isEmpty"`
	BeginningSequenceNumber    int64      `json:"beginningSequenceNumber"`
	LastEnqueuedSequenceNumber int64      `json:"lastEnqueuedSequenceNumber"`
	LastEnqueuedOffset         string     `json:"lastEnqueuedOffset"`
	LastEnqueuedOn             *time.Time `json:"lastEnqueuedOn,omitempty"`
}

func (d *describing) describe(ctx context.Context, name string) (hubLine, error) {
	client, err := d.producer(name)
	if err != nil {
		return hubLine{}, err
	}
	defer leave(client)
	hub, err := client.GetEventHubProperties(ctx, nil)
	if err != nil {
		return hubLine{}, explain(err)
	}
	h := hubLine{Name: hub.Name, CreatedOn: hub.CreatedOn.UTC()}
	for _, id := range hub.PartitionIDs {
		p, err := client.GetPartitionProperties(ctx, id, nil)
		if err != nil {
			return hubLine{}, explain(err)
		}
		h.Partitions = append(h.Partitions, newPartitionLine(p))
	}
	return h, nil
}

func newPartitionLine(p azeventhubs.PartitionProperties) partitionLine {
	l := partitionLine{
		ID:                         p.PartitionID,
		IsEmpty:                    p.IsEmpty,
		BeginningSequenceNumber:    p.BeginningSequenceNumber,
		LastEnqueuedSequenceNumber: p.LastEnqueuedSequenceNumber,
		LastEnqueuedOffset:         p.LastEnqueuedOffset,
	}
	if p.LastEnqueuedSequenceNumber >= 0 {
		last := p.LastEnqueuedOn.UTC()
		l.LastEnqueuedOn = &last
	}
	return l
}

func (d *describing) print(h hubLine) {
	fmt.Fprintf(d.out, "hub %s, %s, created %s\n", h.Name, count(len(h.Partitions), "partition"), h.CreatedOn.Format(time.RFC3339))
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  partition\tfirst\tlast\toffset\tenqueued")
	for _, p := range h.Partitions {
		switch {
		case p.LastEnqueuedOn == nil:
			fmt.Fprintf(table, "  %s\t-\t-\t-\tnothing yet\n", p.ID)
		case p.IsEmpty:
			fmt.Fprintf(table, "  %s\t-\t%d\t%s\t%s, all gone\n", p.ID, p.LastEnqueuedSequenceNumber, p.LastEnqueuedOffset, p.LastEnqueuedOn.Format(time.RFC3339))
		default:
			fmt.Fprintf(table, "  %s\t%d\t%d\t%s\t%s\n", p.ID, p.BeginningSequenceNumber, p.LastEnqueuedSequenceNumber, p.LastEnqueuedOffset,
				p.LastEnqueuedOn.Format(time.RFC3339))
		}
	}
	table.Flush()
}
