package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// healthTime bounds a look at the broker's health. Whoever asks gives up after a few seconds.
const healthTime = 2 * time.Second

// health answers as the official emulator does: {"status":"healthy","message":"Service is healthy."} with 200, or unhealthy with 503.
func (a *Admin) health(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTime)
	defer cancel()
	answer, status := struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}{"healthy", "Service is healthy."}, http.StatusOK
	err := a.o.Health(ctx)
	if err != nil {
		answer.Status, answer.Message, status = "unhealthy", err.Error(), http.StatusServiceUnavailable
	}
	a.noteHealth(err)
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
	return nil
}

// noteHealth logs changes only: health is asked for every few seconds.
func (a *Admin) noteHealth(err error) {
	switch was := a.sick.Swap(err != nil); {
	case err != nil && !was:
		a.o.Log.Warn("unhealthy", "err", err)
	case err == nil && was:
		a.o.Log.Info("healthy again")
	}
}
