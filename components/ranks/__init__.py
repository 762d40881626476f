"""Work that several processes share: what they are told, how they report, stop and end."""
