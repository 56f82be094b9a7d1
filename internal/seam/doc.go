// Package seam speaks to Seam's API: the one place of the project that makes outbound calls.
//
// In it go requests and the decoding of answers, the kinds of credential, typed errors whose text can be shown to users,
// and what everything that shares a credential has in common: a bound on calls under way, the pause after a 429 and the
// circuit after a 401. It knows nothing of Kubernetes, and decides nothing about when to ask or what to keep.
//
// Whatever a server sends is hostile until proved otherwise. Tokens, credentials and user identifier keys are in no error
// text, and the types that carry them print and marshal without them.
package seam
