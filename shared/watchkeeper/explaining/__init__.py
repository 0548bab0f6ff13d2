"""What rag_explain decides: which episode an anomaly belongs to, and how it is explained."""
