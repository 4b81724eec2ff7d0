package api

import "net/http"

// NoSniff tells browsers to treat every answer as what its Content-Type says. Answers
// repeat names that clients chose, and a browser must not take one for a script.
func NoSniff(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Content-Type-Options"] = nosniff
		next.ServeHTTP(w, r)
	})
}

var nosniff = []string{"nosniff"}
