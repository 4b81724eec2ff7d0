package main

import (
	"net/http"
	"net/http/pprof"
)

// withProfiles adds the profiles of net/http/pprof to what h serves. That package also
// adds them to [http.DefaultServeMux], which this command does not serve. The package
// fanfare does not import it, because a program that embeds a node may serve that mux
// to everybody.
func withProfiles(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // also the profiles by name: heap, goroutine …
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
