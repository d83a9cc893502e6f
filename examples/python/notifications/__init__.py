"""Notifications: what is posted to this service becomes an event in Azure Event Hubs."""
