package evhubtest

import (
	"testing"
	"testing/synctest"
)

func TestBubbleName(t *testing.T) {
	t.Parallel()
	if name := bubble(); name != "" {
		t.Errorf("outside of a bubble it is %q", name)
	}
	names := make(map[string]bool)
	for range 2 {
		synctest.Test(t, func(*testing.T) {
			names[bubble()] = true
			inner := make(chan string)
			go func() { inner <- bubble() }()
			names[<-inner] = true
		})
	}
	if len(names) != 2 || names[""] {
		t.Errorf("two bubbles have the names %v", names)
	}
}
