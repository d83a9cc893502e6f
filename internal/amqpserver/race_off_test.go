//go:build !race

package amqpserver

const raceEnabled = false
