"""Configuration: postern.toml read into frozen values, every mistake told with line and fix."""
