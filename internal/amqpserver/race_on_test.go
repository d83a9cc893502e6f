//go:build race

package amqpserver

// raceEnabled: the race detector makes pools forget and stacks larger.
const raceEnabled = true
