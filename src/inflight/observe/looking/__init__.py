"""What is read of a cluster about an HPA, by the requests and in the words of its controller's own client."""
