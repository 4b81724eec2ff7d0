package api

import "net/http"

// NoSniff tells browsers to take every answer for what it says it is. Answers
// repeat names that others chose, and none of them is to become a script.
func NoSniff(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
