// Package lifecycle decides what becomes of a SeamClientSession: whether it is due, what an answer of Seam means for its
// Secret, its next status and the events of it, and when to look again.
//
// Only pure functions over values go in it: no client, no clock (now is an argument) and no context. So each decision has
// a table test of its own, and the reconciler is left with acting.
package lifecycle
