// Package acceptance proves from the outside what only shows there: the real binary as a process of its own, killed,
// frozen and restarted, and the operator and its client against Seam's own fake server.
//
// In it go tests that start processes. It holds no production code, and what can be proved within one process is proved
// beside the code.
package acceptance
