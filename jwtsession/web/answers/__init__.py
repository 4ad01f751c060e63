"""What a request's dependencies want on its answer: a cookie, a new token, a saved session, the end of a stream."""
