//go:build !race

package controller

// simSeeds is how many simulations there are by default.
const simSeeds = 200
