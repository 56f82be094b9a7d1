//go:build race

package acceptance

// buildFlags has the binary look for data races where the tests do.
var buildFlags = []string{"-race"}

// spared is how much more memory the operator may ever have used after somebody tried to make it use a lot. The race detector
// keeps a shadow of all of it.
const spared = 128 << 20
