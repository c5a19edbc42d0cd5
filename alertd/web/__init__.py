"""The HTTP side: probes, metrics, JSON API and the status page over one View; `application` puts it together."""
