package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// order is what callers post and readers of the hub get.
type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

const (
	orderBytesMax = 64 << 10
	publishTime   = 10 * time.Second // the longest that a caller waits for the hub
)

// orders is the application. It writes against the port, and is given an adapter.
type orders struct {
	notifier notify.Notifier
	hub      string
	log      *slog.Logger
}

func newOrders(n notify.Notifier, hub string, log *slog.Logger) http.Handler {
	o := &orders{n, hub, log}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", o.place)
	return mux
}

func (o *orders) place(w http.ResponseWriter, r *http.Request) {
	placed, err := readOrder(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	message, err := notify.JSON(placed)
	if err != nil {
		o.answer(w, placed, err)
		return
	}
	message.ID = "order-" + placed.ID // the same if the caller sends the order again, so that readers can drop a copy
	message.Key = placed.Customer     // the orders of one customer stay in order
	message.Properties = map[string]any{"schema": "order.v1"}
	ctx, cancel := context.WithTimeout(r.Context(), publishTime)
	defer cancel()
	o.answer(w, placed, o.notifier.Send(ctx, o.hub, message)[0].Err)
}

func readOrder(w http.ResponseWriter, r *http.Request) (order, error) {
	var placed order
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, orderBytesMax))
	body.DisallowUnknownFields()
	if err := body.Decode(&placed); err != nil {
		return placed, errors.New("the body is no order: " + err.Error())
	}
	if placed.ID == "" || placed.Customer == "" || placed.Item == "" || placed.Quantity < 1 {
		return placed, errors.New("an order has an id, a customer, an item and a quantity of 1 or more")
	}
	return placed, nil
}

// answer says the truth about the order, as far as it is known.
func (o *orders) answer(w http.ResponseWriter, placed order, err error) {
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(placed)
		return
	}
	var failure *notify.Error
	if !errors.As(err, &failure) {
		failure = &notify.Error{Reason: notify.Internal, Err: err}
	}
	o.log.Warn("order not published", "order", placed.ID, "reason", failure.Reason, "err", err)
	switch failure.Reason {
	case notify.Unknown:
		http.Error(w, "nobody knows whether the order was taken: send it again with the same id", http.StatusGatewayTimeout)
	case notify.Busy, notify.Unavailable, notify.Expired, notify.Closed:
		seconds := max(1, (failure.RetryAfter+time.Second-1)/time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		http.Error(w, "the order was not taken: send it again later", http.StatusServiceUnavailable)
	case notify.TooLarge:
		http.Error(w, "the order was not taken: it is too large", http.StatusRequestEntityTooLarge)
	case notify.Invalid:
		http.Error(w, "the order was not taken: "+failure.Text, http.StatusUnprocessableEntity)
	default: // the hub is gone, or refuses us: the operator's business
		http.Error(w, "the order was not taken, and sending it again does not help", http.StatusBadGateway)
	}
}
