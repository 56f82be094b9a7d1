// Package secret says what the Secret of a SeamClientSession looks like: how it is rendered from an answer of Seam, what
// it tells of itself when it is found again, and how it is merged with what others put on it.
//
// Only pure functions over Kubernetes objects and answers of Seam go in it: no client, no clock, no logging. It may
// import the API of the operator and internal/seam, whose answers it renders.
package secret
