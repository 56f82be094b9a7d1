// Package metrics tells Prometheus about sessions, about workspaces and about the calls to Seam.
//
// What is computed when Prometheus asks, and what measures a call on its way out, goes in it. It reads, and decides
// nothing. No label holds anything secret, or grows without bound.
package metrics
