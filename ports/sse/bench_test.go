package sse_test

func beOthers(string) {}
