//go:build !race

package acceptance

var buildFlags []string

// spared is how much more memory the operator may ever have used after somebody tried to make it use a lot.
const spared = 32 << 20
