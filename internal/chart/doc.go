// Package chart proves the chart in config/chart, and with it the roles that it and the manifests install: every value and
// what the schema rejects, what an API server says of what is rendered, that config/default has the same objects, and that
// the operator needs all that it is granted and nothing else.
//
// In it go tests that run helm. It holds no production code.
package chart
