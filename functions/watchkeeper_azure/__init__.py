"""The runtime on Azure: functions of one Functions app, with Event Hubs, Cosmos DB, Blob Storage and Key Vault."""
