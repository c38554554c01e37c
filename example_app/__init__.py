"""An orders API guarded by cognito_guard, to start (`python -m example_app`), to call and to copy from."""
