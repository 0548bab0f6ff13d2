"""From what devices and clients send to packs: understanding bodies, and putting readings in company."""
