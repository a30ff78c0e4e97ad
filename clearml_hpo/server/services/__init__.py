"""One module per ClearML service, all of one shape: check the fields, ask the store, shape the answer."""
