//go:build race

package controller

// simSeeds is how many simulations there are by default. They take ten times as long with the race detector, which has
// little to see: but for the watches, a simulation is one goroutine.
const simSeeds = 10
