"use strict";

// Anything may be asked for, named or extended, which is what the servers do while they start; a call says what is missing.
function absent() {
  throw new Error("not installed: see `overrides` in tests/emulators/node/package.json");
}

const anything = new Proxy(absent, {
  get: (target, name) => (name === "prototype" ? target.prototype : anything),
  construct: absent,
});

module.exports = anything;

// Never run: it is how Node learns the names that ES modules import.
0 && (module.exports = {
  AzureCliCredential,
  ChainedTokenCredential,
  ClientSecretCredential,
  DeviceCodeCredential,
  EnvironmentCredential,
  InteractiveBrowserCredential,
  ResourceManagementClient,
  SubscriptionClient,
  WebSiteManagementClient,
  useIdentityPlugin,
});
