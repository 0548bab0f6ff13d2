"""Network: a VPC over two or three zones with private subnets, and endpoints instead of a way out where possible."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.iam import allow, document
from watchkeeper_infra.site import under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper_infra.aws.site import Site

SUBNETS = 8  # the network is divided into so many; the first ones are private, the last ones public
FREE_ENDPOINTS = ("s3", "dynamodb")
HTTPS = 443
KAFKA_SCRAM, KAFKA_IAM = 9096, 9098


class Network(pulumi.ComponentResource):
    """Private subnets, security groups by purpose, and how what is in them reaches AWS.

    `subnet_ids` are the private ones; `functions`, `brokers` and `devices` are security groups: of the functions, of
    the brokers, and of the device hub's way to them.
    """

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:aws:Network", site.name("network"))
        self._site, self._own = site, under(self)
        config = site.config
        self.vpc = aws.ec2.Vpc(
            site.name("vpc"),
            cidr_block=config.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=self._tags("vpc"),
            opts=self._own,
        )
        network = ipaddress.IPv4Network(config.cidr)
        blocks = [str(block) for block in network.subnets(prefixlen_diff=SUBNETS.bit_length() - 1)]
        zones = aws.get_availability_zones(
            state="available",
            filters=[aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])],
        ).names[: config.zones]
        private = [self._subnet(f"private-{n}", zone, blocks[n]) for n, zone in enumerate(zones)]
        self.subnet_ids: list[pulumi.Output[str]] = [subnet.id for subnet in private]
        tables = [self._table(f"private-{n}", subnet) for n, subnet in enumerate(private)]
        if config.nat != "none":
            self._way_out(zones, blocks, tables)
        self._security_groups()
        self._endpoints(tables)
        self.register_outputs({"vpcId": self.vpc.id})

    def _subnet(self, name: str, zone: str, block: str) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            self._site.name(name),
            vpc_id=self.vpc.id,
            availability_zone=zone,
            cidr_block=block,
            map_public_ip_on_launch=False,
            tags=self._tags(name),
            opts=self._own,
        )

    def _table(self, name: str, subnet: aws.ec2.Subnet) -> aws.ec2.RouteTable:
        table = aws.ec2.RouteTable(self._site.name(name), vpc_id=self.vpc.id, tags=self._tags(name), opts=self._own)
        aws.ec2.RouteTableAssociation(
            self._site.name(name), subnet_id=subnet.id, route_table_id=table.id, opts=self._own
        )
        return table

    def _way_out(self, zones: Sequence[str], blocks: Sequence[str], tables: Sequence[aws.ec2.RouteTable]) -> None:
        """A NAT gateway in one zone, or in each, in public subnets that hold nothing else."""
        site = self._site
        gateway = aws.ec2.InternetGateway(
            site.name("gateway"), vpc_id=self.vpc.id, tags=self._tags("gateway"), opts=self._own
        )
        nats = []
        for n, zone in enumerate(zones if site.config.nat == "per-zone" else zones[:1]):
            public = self._subnet(f"public-{n}", zone, blocks[SUBNETS - 1 - n])
            table = self._table(f"public-{n}", public)
            self._route(f"public-{n}", table, gateway_id=gateway.id)
            address = aws.ec2.Eip(site.name(f"nat-{n}"), domain="vpc", tags=self._tags(f"nat-{n}"), opts=self._own)
            nats.append(
                aws.ec2.NatGateway(
                    site.name(f"nat-{n}"),
                    allocation_id=address.id,
                    subnet_id=public.id,
                    tags=self._tags(f"nat-{n}"),
                    opts=under(self, depends_on=[gateway]),
                )
            )
        for n, table in enumerate(tables):
            self._route(f"private-{n}", table, nat_gateway_id=nats[min(n, len(nats) - 1)].id)

    def _route(self, name: str, table: aws.ec2.RouteTable, **to: pulumi.Output[str]) -> None:
        aws.ec2.Route(
            self._site.name(name), route_table_id=table.id, destination_cidr_block="0.0.0.0/0", **to, opts=self._own
        )

    def _security_groups(self) -> None:
        self.functions = self._group("functions", "what functions reach")
        self.brokers = self._group("brokers", "who reaches the brokers")
        self.devices = self._group("devices", "from the device hub to the brokers")
        self.endpoints = self._group("endpoints", "who reaches the endpoints")
        # The pollers of the mappings come from within the brokers' own group.
        for source, ports in (
            ("brokers", (KAFKA_SCRAM, KAFKA_IAM)),
            ("functions", (KAFKA_SCRAM, KAFKA_IAM)),
            ("devices", (KAFKA_SCRAM,)),
        ):
            for port in ports:
                self._let(source, "brokers", port)
        self._let("functions", "endpoints", HTTPS)
        out = "" if self._site.config.nat == "none" else "and, by the NAT gateway, the world"
        aws.vpc.SecurityGroupEgressRule(
            self._site.name("functions", "https"),
            security_group_id=self.functions.id,
            description=f"S3 and DynamoDB, which have no addresses in the network {out}".strip(),
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            cidr_ipv4="0.0.0.0/0",
            tags=self._tags("functions-https"),
            opts=self._own,
        )

    def _group(self, name: str, about: str) -> aws.ec2.SecurityGroup:
        """A security group without rules of its own: they follow one by one."""
        return aws.ec2.SecurityGroup(
            self._site.name(name), description=about, vpc_id=self.vpc.id, tags=self._tags(name), opts=self._own
        )

    def _let(self, source: str, target: str, port: int) -> None:
        """Let one group reach another at a port, on both sides."""
        groups: dict[str, aws.ec2.SecurityGroup] = {
            "functions": self.functions,
            "brokers": self.brokers,
            "devices": self.devices,
            "endpoints": self.endpoints,
        }
        name = self._site.name(source, target, str(port))
        about = f"{source} reach {target} at {port}"
        aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=groups[target].id,
            referenced_security_group_id=groups[source].id,
            description=about,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=self._tags(name),
            opts=self._own,
        )
        aws.vpc.SecurityGroupEgressRule(
            name,
            security_group_id=groups[source].id,
            referenced_security_group_id=groups[target].id,
            description=about,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=self._tags(name),
            opts=self._own,
        )

    def _endpoints(self, tables: Sequence[aws.ec2.RouteTable]) -> None:
        """Free gateways to S3 and DynamoDB; by the hour only what functions call beside, and only without a NAT."""
        site = self._site
        for service in FREE_ENDPOINTS:
            aws.ec2.VpcEndpoint(
                site.name(service),
                vpc_id=self.vpc.id,
                service_name=f"com.amazonaws.{site.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables],
                policy=self._own_account_only(service),
                tags=self._tags(service),
                opts=self._own,
            )
        if site.config.nat != "none":
            return
        for service in paid_endpoints(site.config.model):
            aws.ec2.VpcEndpoint(
                site.name(service),
                vpc_id=self.vpc.id,
                service_name=f"com.amazonaws.{site.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.subnet_ids,
                security_group_ids=[self.endpoints.id],
                tags=self._tags(service),
                opts=self._own,
            )

    def _own_account_only(self, service: str) -> pulumi.Output[str]:
        """Data leave through a gateway to this account only."""
        ours = allow("OwnAccount", [f"{service}:*"], "*", StringEquals={"aws:ResourceAccount": self._site.account})
        return document([ours | {"Principal": "*"}])

    def _tags(self, name: str) -> dict[str, str]:
        return {"Name": self._site.name(name), **self._site.tags()}


def paid_endpoints(model: str) -> tuple[str, ...]:
    """The interface endpoints of a stack without a NAT gateway."""
    return ("secretsmanager", "sns", "lambda", *(("bedrock-runtime",) if model == "bedrock" else ()))
