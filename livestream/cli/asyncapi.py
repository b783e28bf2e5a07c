"""`livestream asyncapi`: the contract of the stream as a document for machines."""

import click

from livestream.parity.asyncapi import document_text


@click.command()
def asyncapi() -> None:
    """Print the stream's contract as an AsyncAPI 3 document (JSON)."""
    click.echo(document_text(), nl=False)
