// Package seam speaks to Seam's API: the one place of the project that makes outbound calls.
//
// In it go requests and the decoding of answers, the kinds of credential, typed errors whose message can be shown to users,
// what all calls with one credential share (throttle: for each route a concurrency limit and a circuit breaker), and what all
// credentials share (pool: the calls under way). It knows nothing of Kubernetes, and decides nothing about when to fetch or
// what to keep.
//
// Whatever a server sends is hostile until proved otherwise. Tokens, credentials and user identifier keys are in no error
// message, and the types that carry them print and marshal without them.
package seam
