"""Request units by the published table: a read of 1 KB costs 1, of 100 KB 10; a write of 1 KB costs 5, of 100 KB 50.

Source: Microsoft Learn, "Optimize request cost in Azure Cosmos DB". In between they are taken for a straight line.
Nothing is published for queries: what they read is charged as reads are, and never less than `QUERY`, which is what
the service itself shows for one that finds little. So all sums are estimates.
"""

KB = 1024
QUERY = 2.3


def of_read(size: int) -> float:
    """A read of one item of so many bytes."""
    return 1 + max(0.0, size / KB - 1) * 9 / 99


def of_write(size: int) -> float:
    """An insert, a replacement, a patch or a deletion."""
    return 5 * of_read(size)


def of_query(sizes: list[int]) -> float:
    """A query that answers items of these sizes."""
    return max(QUERY, sum(of_read(size) for size in sizes))
