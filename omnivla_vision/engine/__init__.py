"""What runs the network: interchangeable engines behind one small protocol."""
