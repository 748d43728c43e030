"""Pictures and pairs: dataset cards, pairing by name, deterministic loading, and the doctor that checks a folder."""
