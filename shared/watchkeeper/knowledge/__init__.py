"""What the team knows about its fleet: device catalogue, rules and runbooks, validated together as one bundle."""
