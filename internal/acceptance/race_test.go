//go:build race

package acceptance

// buildFlags has the binary look for data races where the tests do.
var buildFlags = []string{"-race"}
