//! Owns the way from prepared component trees to a signed pack in a depot.
